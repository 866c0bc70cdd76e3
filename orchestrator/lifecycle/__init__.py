"""Pure: job, run and trial state machines, failure classes, retry budgets, reasons for waiting."""
