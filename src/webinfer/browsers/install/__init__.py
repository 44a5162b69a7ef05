"""How the embedded browser is fetched, verified and unpacked."""
