"""Mixed-integer programs, one a file, from blocks. They read cost tables, never files."""
