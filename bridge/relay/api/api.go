// Package api describes the messages and the HTTP API for programs: a JSON Schema and a TypeScript type of the messages, an
// OpenAPI file of /api/v1. The relay serves them. A test of package bridge holds them against what the daemon sends and
// answers, and writes openapi.json: go test ./bridge -run TestOpenAPI -update.
package api

import "embed"

// Files are openapi.json, message.schema.json and message.d.ts.
//
//go:embed openapi.json message.schema.json message.d.ts
var Files embed.FS
