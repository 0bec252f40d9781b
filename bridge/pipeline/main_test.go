package pipeline

import "fmt"

// rmc is one epoch of a receiver, at a second of a morning.
func rmc(second int, fix bool) []byte {
	status := "V,,,,,,"
	if fix {
		status = "A,5130.0000,N,00007.5000,W,27.0,84.4"
	}
	return sentence(fmt.Sprintf("GPRMC,0900%02d.00,%s,231126,,,A", second, status))
}

func sentence(body string) []byte {
	var sum byte
	for _, c := range []byte(body) {
		sum ^= c
	}
	return fmt.Appendf(nil, "$%s*%02X\r\n", body, sum)
}
