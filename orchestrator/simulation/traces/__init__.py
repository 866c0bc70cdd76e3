"""Readers for recorded loads: one module for each public layout, and one that tells them apart."""
