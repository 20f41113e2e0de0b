"""Stand-ins for AMD's tools: they run the Tcl they are given with the vendor's commands stubbed, and write reports.

Environment variables steer them; see ``settings``.
"""
