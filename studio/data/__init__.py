"""What a dataset is: reading files, matching columns to roles, the doctor's checks, and splits.

It knows no task and no model.
"""
