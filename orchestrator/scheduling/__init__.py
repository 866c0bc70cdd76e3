"""Pure: `decide(snapshot, policy) -> decisions`; which jobs start now and how wide, and why the others wait."""
