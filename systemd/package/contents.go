package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/licensecheck"
)

// makeContents writes the list of what is in a release: Go modules, npm modules of the page, certificate authorities of the image.
func (s *source) makeContents() error {
	var components []cyclonedx.Component
	for _, m := range s.modules {
		terms, err := licences(m.dir)
		if err != nil {
			return err
		}
		components = append(components, component("golang", m.path, m.version, terms))
	}
	bundled, err := s.pageNotices()
	if err != nil {
		return err
	}
	for _, m := range bundledModule.FindAllStringSubmatch(bundled, -1) {
		components = append(components, component("npm", m[1], m[2], m[3]))
	}
	slices.SortFunc(components, func(a, b cyclonedx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	list := cyclonedx.NewBOM()
	list.Components = &components
	list.Metadata = &cyclonedx.Metadata{
		Timestamp: s.version.time.Format("2006-01-02T15:04:05Z"),
		Component: &cyclonedx.Component{Type: cyclonedx.ComponentTypeApplication, BOMRef: "gpsbridge", Name: "gpsbridge",
			Version: s.version.debian(), Description: summary, Authors: &[]cyclonedx.OrganizationalContact{{Name: maintainer}}},
	}
	var b bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(list, cyclonedx.SpecVersion1_6); err != nil { // which more tools read than the newest
		return err
	}
	return s.write(s.name(".cdx.json"), b.Bytes())
}

// bundledModule is the head of a notice that build.mjs of the page writes: name, version and licence.
var bundledModule = regexp.MustCompile(`(?m)^-{78}\n(\S+) (\S+) \((.+)\)$`)

// component is one module in the list; terms are an SPDX expression.
func component(registry, name, version, terms string) cyclonedx.Component {
	url := "pkg:" + registry + "/" + strings.Replace(name, "@", "%40", 1) + "@" + version
	return cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, BOMRef: url, PackageURL: url, Name: name, Version: version,
		Licenses: &cyclonedx.Licenses{{Expression: terms}}}
}

// licences returns the names that SPDX has for the licences in a directory, all of which apply.
func licences(dir string) (string, error) {
	paths, err := licenceFiles(dir, "LICEN[CS]E*", "COPYING*")
	if err != nil {
		return "", err
	}
	var names []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		for _, match := range licensecheck.Scan(text).Match {
			names = append(names, match.ID)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return "", fmt.Errorf("%s has no licence that is known: the list of contents must name one", dir)
	}
	return strings.Join(names, " AND "), nil
}
