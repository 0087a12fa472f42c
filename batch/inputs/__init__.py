"""What lies in the input folder, and what is in it. Nothing here knows of models or writes to OUTPUT."""
