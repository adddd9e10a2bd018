"""The pages, one module a kind; each function takes a visit and gives an answer."""
