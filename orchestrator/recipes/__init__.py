"""One module for each workload family: model, data, loss, schedule and evaluation, as a task of the training engine."""
