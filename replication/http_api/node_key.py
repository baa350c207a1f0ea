"""Where handlers find the node that they serve."""

from aiohttp import web

from replication.node import Node

NODE = web.AppKey("node", Node)
