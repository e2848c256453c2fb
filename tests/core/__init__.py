"""The core, tested as what it is: values in, values out."""
