"""Rules that need the whole definition: names that lead nowhere, order, conflicts, things nobody uses."""
