"""One module per resource; a handler only translates HTTP to the domain and back."""
