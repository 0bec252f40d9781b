//go:build race

package nmeatest

const raced = true
