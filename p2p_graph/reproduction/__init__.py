"""The paper's tables: plans, rows, step budgets, and the tables as they came out."""
