// Package layer joins relays to the channel layer of a Django application in Redis or Valkey, so that they share its groups with
// each other and with it, and stores fixes in Redis streams. Nodes share nothing else. It is the only package that knows Redis.
package layer
