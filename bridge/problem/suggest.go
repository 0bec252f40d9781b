package problem

import "strings"

// Suggest asks whether the nearest of the known names was meant, "" where none is near: a third of the letters may differ,
// and one always may. A name that begins with the word is near however much is missing. Its end is a space.
func Suggest(word string, known []string) string {
	word = strings.ToLower(strings.TrimLeft(word, "-"))
	best, nearest := max(1, len(word)/3)+1, ""
	for _, name := range known {
		letters := strings.ToLower(strings.TrimLeft(name, "-"))
		d := distance(word, letters)
		if len(word) > 1 && strings.HasPrefix(letters, word) {
			d = 1
		}
		if d < best {
			best, nearest = d, name
		}
	}
	if nearest == "" {
		return ""
	}
	return "did you mean " + nearest + "? "
}

// distance counts the letters to insert, delete, change, or swap with their neighbour to make b of a (optimal string
// alignment distance).
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
