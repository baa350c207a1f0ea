"""The HTTP API of a node: for other processes, for `curl`, for Prometheus.

GET     /                                what there is
GET     /health                          200 while the journal can be read, 503 otherwise
GET     /metrics                         in Prometheus' text format
GET     /members                         the replicas of the cluster: state, address, lag
DELETE  /members/{replica}               remove one for ever
GET     /keys                            a page of the keys                             ?prefix= &after= &limit=
GET     /keys/{key}                      its value                        ?type= &replicas= &timeout= &version=
POST    /keys/{key}                      do something to it               {"type", "method", "arguments", "replicas"}
DELETE  /keys/{key}                      undo all that is known of it                          ?replicas= &timeout=
GET     /keys/{key}/feed                 its value, and each newer one, live
GET     /streams                         a page of the streams                          ?prefix= &after= &limit=
GET     /streams/{stream}/events         a page of its events                             ?after= &limit= &kind=
POST    /streams/{stream}/events         append one       {"type", "data", "event_id", "expected_version", "replicas"}
GET     /streams/{stream}/feed           its events, live                                         ?after= &kind=
GET     /events                          a page of the events of all streams     ?after= &limit= &prefix= &type= &tag=
GET     /feed                            the events of all streams, live         ?after= &prefix= &type= &tag=

A segment of a path is percent-encoded: the key "a/b" is `/keys/a%2Fb`. What is refused is answered with
`{"error": "one sentence"}` and facts: 400 it is wrong, 401 and 403 not you, 404 not there, 409 it conflicts with what
is, 413 too large, 503 not now, 504 too few replicas answered in time (and who did).

Positions and sequence numbers are those of the node that is asked: at another one, events stand in another order.

A feed is JSON lines (an empty line is a sign of life), or server-sent events for who accepts `text/event-stream`.
"""
