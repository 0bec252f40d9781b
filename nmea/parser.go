package nmea

import (
	"errors"
	"strings"

	gonmea "github.com/adrianmo/go-nmea"
)

// parser turns sentences into readings with go-nmea's SentenceParser. The sentences that matter here are read by this
// package's own parsers, registered with it: go-nmea reads an empty latitude as 0, refuses quality 8, a mode in an unexpected
// place or a missing last field, which real receivers send, and does not know GST, GBS and the proprietary ones. Of other
// sentences only whether go-nmea can read them is of interest.
type parser struct {
	library gonmea.SentenceParser
	r       reading // of the last sentence; used again for the next
}

// newParser returns a parser with the own parsers registered.
func newParser() *parser {
	p := &parser{}
	p.library.CustomParsers = make(map[string]gonmea.ParserFunc, len(sentences))
	// The Scanner has checked the checksum, or was set to accept sentences without one.
	p.library.CheckCRC = func(gonmea.BaseSentence, string) error { return nil }
	for _, own := range sentences {
		typ, proprietary := strings.CutPrefix(own.typ, string(gonmea.ProprietarySentencePrefix))
		p.library.CustomParsers[typ] = func(s gonmea.BaseSentence) (gonmea.Sentence, error) {
			r := &p.r
			r.reset(s, own.kind)
			if proprietary != (s.Talker == string(gonmea.ProprietarySentencePrefix)) {
				r.kind = kindOther
				return r, nil
			}
			if !r.require(own.fields) {
				return r, nil
			}
			own.parse(r)
			if own.clock != none && r.kind != kindOther {
				r.clock(own.clock)
			}
			return r, nil
		}
	}
	return p
}

// errUnsupported reports that neither this package nor go-nmea reads sentences of this type.
var errUnsupported = errors.New("unsupported sentence")

// parse reads one sentence. The reading is valid until the next call. It is never nil: a sentence that is refused as a whole
// states nothing and has a flaw. The library panics on some sentences; that is one of the flaws.
func (p *parser) parse(sentence []byte) (r *reading, err error) {
	r = &p.r
	defer func() {
		if recover() != nil {
			r.reset(gonmea.BaseSentence{}, kindOther)
			r.flaws.add(flawPanic)
			err = nil
		}
	}()
	s, err := p.library.Parse(string(sentence))
	if s == gonmea.Sentence(r) {
		return r, nil
	}
	r.reset(gonmea.BaseSentence{}, kindOther)
	if _, ok := errors.AsType[*gonmea.NotSupportedError](err); ok {
		return r, errUnsupported
	}
	if err != nil {
		r.flaws.add(flawLibrary)
	}
	return r, nil
}
