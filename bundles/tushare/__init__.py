"""Tushare Pro over HTTP: the token, what each endpoint allows, and a client that loses no error."""
