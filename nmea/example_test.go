package nmea_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"gpsbridge/nmea"
)

// What a receiver sends: two epochs.
const sent = "$GNRMC,120000.00,A,5130.00000,N,00007.20000,W,20.00,84.00,231126,,,A,V*22\r\n" +
	"$GNGGA,120000.00,5130.00000,N,00007.20000,W,1,12,0.8,11.2,M,46.7,M,,*5D\r\n" +
	"$GNRMC,120001.00,A,5130.00600,N,00007.19220,W,21.42,87.00,231126,,,A,V*2B\r\n" +
	"$GNGGA,120001.00,5130.00600,N,00007.19220,W,1,12,0.8,11.2,M,46.7,M,,*50\r\n"

// A whole log becomes one JSON object a line.
func ExampleDecode() {
	stats, err := nmea.Decode(context.Background(), os.Stdout, strings.NewReader(sent), nmea.DecodeOptions{})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(stats.Scanner.Sentences, "sentences")
	// Output:
	// {"class":"TPV","mode":3,"status":1,"time":"2026-11-23T12:00:00.000Z","lat":51.50000000,"lon":-0.12000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":10.289,"track":84.00,"hdop":0.8,"eph":15.2,"uSat":12}
	// {"class":"TPV","mode":3,"status":1,"time":"2026-11-23T12:00:01.000Z","lat":51.50010000,"lon":-0.11987000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":11.019,"track":87.00,"climb":0.0,"hdop":0.8,"eph":15.2,"uSat":12}
	// 4 sentences
}

// A Scanner finds the sentences in whatever a port gives, in pieces of any size.
func ExampleScanner() {
	var scanner nmea.Scanner
	show := func(sentence []byte) { fmt.Println(string(sentence)) }
	scanner.Scan([]byte("\xb5\x62 noise $GNGLL,5130.0,N,00007.2"), show)
	scanner.Scan([]byte("0000,W,120000.00,A,A*64\r\n$GNGLL,torn"), show)
	fmt.Println(scanner.Stats().NoiseBytes, "bytes of noise")
	// Output:
	// $GNGLL,5130.0,N,00007.20000,W,120000.00,A,A*64
	// 9 bytes of noise
}

// printer is a Handler that prints.
type printer struct{}

func (printer) Fix(f *nmea.Fix) {
	fmt.Printf("%s %v %.4f %.4f, %.1f m/s\n", f.Time.Format("15:04:05"), f.Mode, f.Lat.V, f.Lon.V, f.Speed.V)
}

func (printer) Sky(*nmea.Sky) {}

// An Assembler calls its Handler once an epoch: when the next one begins, when Flush reports that the line is quiet, and
// once it knows the receiver, with the last sentence that adds something.
func ExampleAssembler() {
	assembler := nmea.NewAssembler(printer{}, nmea.Options{})
	var scanner nmea.Scanner
	scanner.Scan([]byte(sent), assembler.Push)
	assembler.Flush()
	// Output:
	// 12:00:00 3D 51.5000 -0.1200, 10.3 m/s
	// 12:00:01 3D 51.5001 -0.1199, 11.0 m/s
}
