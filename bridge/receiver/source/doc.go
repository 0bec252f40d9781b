// Package source holds what all kinds of source have in common.
package source
