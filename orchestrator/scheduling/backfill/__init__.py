"""Who may pass a job that waits for slots: `guard(draft)` gives the rule that a policy names."""
