// Package source holds what all kinds of source have in common: the interface between a source and the loop that reads it,
// the options of its written form, and the codes of its problems.
package source
