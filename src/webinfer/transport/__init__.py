"""Bytes between Python and a page: the HTTP host, WebSockets, connections and the wire protocol."""
