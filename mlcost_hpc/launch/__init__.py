"""Choose where a job runs, write its batch script, submit it."""
