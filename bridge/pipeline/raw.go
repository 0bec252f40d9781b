package pipeline

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Hub is the part of the relay that raw bytes need.
type Hub interface {
	Wants(device, class string) bool // any viewer of a device asks for messages of a class
	Publish(device, class string, msg []byte)
}

// RawViewers shows bytes as they came to the viewers that ask for them (?nmea=1), and costs next to nothing while there is
// none. A chunk is one message, cut wherever the reading was; a byte that is no UTF-8 becomes the replacement character.
func RawViewers(hub Hub, deviceID, source string) func(p []byte) {
	head := `{"class":"NMEA","device_id":` + strconv.Quote(deviceID) + `,"receiver":` + string(quoted([]byte(source))) + `,"data":`
	return func(p []byte) {
		if !hub.Wants(deviceID, "NMEA") {
			return
		}
		hub.Publish(deviceID, "NMEA", slices.Concat([]byte(head), quoted(p), []byte("}")))
	}
}

// quoted is bytes as a JSON string, whatever they are.
func quoted(p []byte) []byte {
	b, _ := json.Marshal(string(p)) // a string cannot fail
	return b
}
