"""Jobs, runs, events, trials and the controller's lease in one SQL database; one module for each family of tables."""
