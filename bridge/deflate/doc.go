// Package deflate compresses the messages of a WebSocket: the extension permessage-deflate (RFC 7692), with the context kept
// from message to message, which github.com/gorilla/websocket does not do. It works on the bytes below that library: what the
// library reads and writes has no extension.
//
//   - [Offer], [Answer] and [Accept] negotiate.
//   - [Handshake] is the connection of a client until the server has answered, and after it.
//   - [Reader] inflates what comes in.
//   - [Writer] makes frames of texts, compressed or not.
//
// See README.md for why it is built so, and for the figures.
package deflate
