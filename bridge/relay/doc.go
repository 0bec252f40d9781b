// Package relay serves the tracking groups to whoever watches them: a WebSocket
// group per device ID, a small HTTP API, and the viewer page.
//
// It owns groups, viewers, publishers, what they may do, and everything that
// speaks HTTP. It must not know where messages come from, how they are stored
// or where else they go: a message is bytes with a class, carried as it came.
//
//	Publish ──▶ group ──▶ one bounded queue a viewer ──▶ one goroutine writing
//	              │       (and one for raw NMEA, where it is asked for)
//	              ├─ last TPV, last SKY, the last History TPV (for who joins)
//	              ▲
//	publisher ────┘  (with the publish token: its frames go to every member,
//	                  itself included)
//
// # Locks
//
// There are three, always taken in this order: hub.mu (which groups exist),
// group.mu (members, history, the order of messages), viewer.mu (its queue).
// Nothing is written to a socket under any of them, so a publisher waits for
// other publishers of the same device at most, and never for a viewer.
//
// # Delivery
//
// A viewer gets every message of its group once and in the order of the group,
// or loses the oldest ones of its queue, counted. A publisher gets its own
// messages back without loss, or is closed: its echo is how it learns that the
// group has the message.
//
// # What it answers
//
// Reading is all that HTTP does; GET and HEAD are the methods. The API answers in
// JSON, errors included ({"error":"no fix of device \"van_7\" yet"}); everything
// else answers errors with one line of text. TOKEN is the viewers' token, or one
// that may publish for the device.
//
//	GET /ws/gps-tracking/van_7/?history=60&sky=1&nmea=1
//	    the group, as a WebSocket: each message one text frame. The last fix at
//	    once, or the last N; with sky=1 satellites too, with nmea=1 what the
//	    receiver says, in pieces as they come.
//	GET /                                   the page; its files below /static/ and /dist/
//	GET /basemap.pmtiles                    the map, with range requests (Config.Basemap)
//	GET /healthz                            "ok", or 503 and why not (Config.Ready); no answer while a lock is held
//	GET /metrics                            for Prometheus (Config.Metrics)
//	GET /api/v1/status                      what the program is doing (Config.Status)
//	GET /api/v1/devices                     {"devices":[{"device_id":"van_7","messages":1843,"viewers":2,
//	                                        "publishers":1,"age":0.2,"fix_age":0.2,"fix":{...}}]}
//	GET /api/v1/devices/van_7               one of them
//	GET /api/v1/devices/van_7/fix           {"class":"TPV","device_id":"van_7",...}: the last one, as published
//	GET /api/v1/devices/van_7/track.geojson what History holds, RFC 7946: a LineString for each part
//	                                        without a gap, its times in the property coordTimes
//	GET /api/v1/devices/van_7/track.gpx     the same as GPX 1.1, with times and elevations
//
// 401 asks for a token, 403 refuses an origin or a host name, 404 knows no such
// device or path, 426 wants a WebSocket, 429 is for who asks too often, 503 for who
// comes when all places are taken. A WebSocket is closed with 1001 on shutdown,
// 1002 for what is no WebSocket, 1003 for binary, 1007 for what is not UTF-8 or not
// JSON, 1008 for a viewer that sends too much, 1009 for a message that is too long,
// 1013 when there is no room for another group, and for a viewer that goes on
// losing messages because it is too slow.
//
// # Who may do what
//
// A token is presented in the header "Authorization: Bearer TOKEN", or, by a
// browser, which can set no header on a WebSocket, as the second of the
// subprotocols "gpsbridge.v1" and "gpsbridge.token.TOKEN"; the first one is
// answered. It is never part of an address: the page takes it from its fragment
// (/#token=TOKEN), which browsers do not send.
//
// Watching needs the viewers' token where there is one, and there must be one,
// or Open, wherever others than this machine reach the relay. Sending needs a
// token always: the publish token for every device, or the device's own. Every
// upgrade has its Origin checked, and without a token every request its Host.
// Requests are counted by remote address, connections bounded in all and by
// address, header and message sizes, the time for a header, and all that a viewer
// sends; see config.go, rate.go, flood.go, relay.go for the numbers and whence
// they come.
package relay
