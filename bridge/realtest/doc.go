// Package realtest gives tests the real parts that gpsbridge works with: a Django Channels tracking server under
// Daphne, Uvicorn or Hypercorn, Redis, Chromium, pseudo-terminals, a network that fails, and a member of a tracking group that
// keeps what it receives.
//
// It owns finding, starting, killing and ending those parts, and reports in one line what to install when one is missing
// ([Need]). It must not know gpsbridge itself: of the project it imports only the two packages below it,
// [gpsbridge/bridge/realtest/program] and [gpsbridge/bridge/realtest/django], which cmd/compare uses too, and what it
// asserts is only that a part started. Only tests import it, so nothing of it is in the program.
//
// Everything binds to 127.0.0.1 on a port of its own, is bounded in time, and is ended by its process id when the test
// that started it ends. Output of a part is shown when the test failed.
package realtest
