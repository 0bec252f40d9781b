package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gpsbridge/bridge/problem"
)

// codesIn returns the problem codes that the Go files of a directory declare, by the name of the constant.
func codesIn(t *testing.T, dir string) map[string]problem.Code {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go files in %s: %v", dir, err)
	}
	codes := map[string]problem.Code{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, isValue := n.(*ast.ValueSpec)
			if !isValue {
				return true
			}
			kind, isSelector := spec.Type.(*ast.SelectorExpr)
			if !isSelector || kind.Sel.Name != "Code" || len(spec.Values) != 1 {
				return true
			}
			if value, isLiteral := spec.Values[0].(*ast.BasicLit); isLiteral {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[spec.Names[0].Name] = problem.Code(text)
			}
			return true
		})
	}
	return codes
}

// TestEachCodeHasALink: a new code of a receiver needs a line in linkOfCode.
func TestEachCodeHasALink(t *testing.T) {
	for name, code := range codesIn(t, "../receiver/source") {
		if link := linkOfCode[code]; !slices.Contains(portLinks, link) && !slices.Contains(lineLinks, link) {
			t.Errorf("source.%s (%q) is of link %q, want one of a receiver's", name, code, link)
		}
	}
	for name, code := range codesIn(t, "../uplink") {
		if link, known := linkOfCode[code]; known && !slices.Contains(serverLinks, link) {
			t.Errorf("uplink.%s (%q) is of link %q, want one of a server's", name, code, link)
		}
	}
}

// TestCodesAreUnique: no two constants of the project are the same code.
func TestCodesAreUnique(t *testing.T) {
	first := map[problem.Code]string{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) == 0 {
			return nil
		}
		for name, code := range codesIn(t, path) {
			at := path + "." + name
			if other, twice := first[code]; twice {
				t.Errorf("%q is both %s and %s", code, other, at)
			}
			first[code] = at
		}
		return nil
	})
	if err != nil || len(first) < 50 {
		t.Errorf("%d codes found, %v", len(first), err)
	}
}
