// Package playback reads sources that have an end: recorded logs, at their own pace, and standard input.
package playback
