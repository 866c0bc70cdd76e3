"""Datasets in a remote store: fetched object by object into a bounded cache that all processes of a node share."""
