// Package event is the form in which a Django application's channel layer (channels_redis) carries messages: JSON in an event, the
// event as msgpack, encrypted where the application does that. It knows the bytes and no connection.
//
// An event is an object of the application's, by its convention with a member "type" that names the consumer's method and one that
// holds the message:
//
//	{"type": "gps_update", "data": {"class": "TPV", ...}}
//
// [Application] writes and reads them. What Python would make of a message (json.loads, then msgpack.packb, and back with
// msgpack.unpackb and json.dumps) is the measure for each byte.
package event
