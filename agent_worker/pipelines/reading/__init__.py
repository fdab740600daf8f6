"""From text to a typed definition; every mistake is noted with its line, and reading goes on."""
