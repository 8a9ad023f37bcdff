"""The tests. A regular package, so that it comes before the package `tests` that textstat installs."""
