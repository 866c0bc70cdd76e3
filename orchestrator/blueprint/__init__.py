"""What a recipe will build and do, computed without torch: design, complexity, space, schedule, cost."""
