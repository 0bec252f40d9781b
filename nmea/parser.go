package nmea

import (
	"errors"

	gonmea "github.com/adrianmo/go-nmea"
)

// parser turns sentences into readings with go-nmea's SentenceParser. The
// types that carry a fix are read by this package's own parsers, registered
// with it: go-nmea reads an empty latitude as 0, refuses quality 8, a mode in an
// unexpected place or a missing last field, which real receivers send, and does
// not know GST, GBS and the proprietary ones. The remaining types are go-nmea's.
type parser struct {
	library gonmea.SentenceParser
	r       reading // of the last sentence; used again for the next
}

// own lists the parsers of this package by go-nmea's type, which is without
// the P for proprietary sentences.
var own = []struct {
	typ         string
	kind        kind
	proprietary bool
	parse       func(*reading)
}{
	{"RMC", kindRMC, false, parseRMC},
	{"GGA", kindGGA, false, parseGGA},
	{"GNS", kindGNS, false, parseGNS},
	{"GLL", kindGLL, false, parseGLL},
	{"GSA", kindGSA, false, parseGSA},
	{"GSV", kindGSV, false, parseGSV},
	{"VTG", kindVTG, false, parseVTG},
	{"ZDA", kindZDA, false, parseZDA},
	{"GST", kindGST, false, parseGST},
	{"GBS", kindGBS, false, parseGBS},
	{"TXT", kindTXT, false, parseTXT},
	{"UBX", kindUBX, true, parseUBX},
	{"GRME", kindRME, true, parseRME},
	{"GRMZ", kindRMZ, true, parseRMZ},
	{"QGSA", kindGSA, true, parsePQGSA},
	{"QGSV", kindGSV, true, parsePQGSV},
	// AIS is about other ships; unpacking its armour would be wasted.
	{"VDM", kindOther, false, func(*reading) {}},
	{"VDO", kindOther, false, func(*reading) {}},
}

// newParser returns a parser with the own parsers registered.
func newParser() *parser {
	p := &parser{}
	p.library.CustomParsers = make(map[string]gonmea.ParserFunc, len(own))
	// The Scanner has checked the checksum, or was told to do without.
	p.library.CheckCRC = func(gonmea.BaseSentence, string) error { return nil }
	for _, o := range own {
		p.library.CustomParsers[o.typ] = func(s gonmea.BaseSentence) (gonmea.Sentence, error) {
			p.r.reset(s, o.kind)
			if o.proprietary != (s.Talker == string(gonmea.ProprietarySentencePrefix)) {
				p.r.kind = kindOther
				return &p.r, nil
			}
			o.parse(&p.r)
			return &p.r, nil
		}
	}
	return p
}

// errUnsupported tells that a sentence is none that anybody here reads.
var errUnsupported = errors.New("unsupported sentence")

// parse reads one sentence. The reading is valid until the next call. It is
// never nil: a sentence that is refused as a whole says nothing and has a flaw.
// The library panics on some sentences; that is one of the flaws.
func (p *parser) parse(sentence []byte) (r *reading, err error) {
	defer func() {
		if recover() != nil {
			p.r.reset(gonmea.BaseSentence{}, kindOther)
			p.r.flaws.add(flawPanic)
			r, err = &p.r, nil
		}
	}()
	s, err := p.library.Parse(string(sentence))
	if err == nil {
		p.adopt(s)
		return &p.r, nil
	}
	p.r.reset(gonmea.BaseSentence{}, kindOther)
	if _, ok := errors.AsType[*gonmea.NotSupportedError](err); ok {
		return &p.r, errUnsupported
	}
	p.r.flaws.add(flawLibrary)
	return &p.r, nil
}

// adopt makes a reading of what the library's own parsers return.
func (p *parser) adopt(s gonmea.Sentence) {
	if _, ok := s.(*reading); ok {
		return
	}
	p.r.reset(gonmea.BaseSentence{}, kindOther)
	hdg, ok := s.(gonmea.HDG)
	if !ok || !(hdg.Variation >= 0.1 && hdg.Variation <= 180) { // NaN too
		return
	}
	p.r.kind = kindHDG
	switch hdg.VariationDirection {
	case gonmea.East:
		p.r.magvar = some(hdg.Variation)
	case gonmea.West:
		p.r.magvar = some(-hdg.Variation)
	}
}
