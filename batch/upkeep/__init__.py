"""What a person does to an output: look for damage, mend it, go back, give up, tidy."""
