"""Write a job and try it out, before the first run. Publishes nothing, and no run depends on it."""
