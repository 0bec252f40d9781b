package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// Duration is a time.Duration written as in "1m30s".
type Duration time.Duration

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration: use for example \"10s\" or \"1m30s\"", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written as in "32MiB".
type Size int64

// UnmarshalText reads a whole number with a unit: B, KiB, MiB, GiB, kB, MB, GB.
func (s *Size) UnmarshalText(text []byte) error {
	var n int64
	var unit string
	units := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "MB": 1e6, "GB": 1e9}
	_, err := fmt.Sscanf(string(text), "%d%s", &n, &unit)
	if err != nil || units[unit] == 0 || n < 0 || n > 1<<62/units[unit] {
		return fmt.Errorf("%q is not a size: use for example \"32MiB\"", text)
	}
	*s = Size(n * units[unit])
	return nil
}

// Level is the least level of what is logged.
type Level struct{ slog.Level }

// UnmarshalText reads a level by its name, in any case.
func (l *Level) UnmarshalText(text []byte) error {
	if l.Level.UnmarshalText(text) != nil {
		return fmt.Errorf("%q is no level: use debug, info, warn or error", text)
	}
	return nil
}

// bareDurations finds durations of a section that were written as a number without a unit, which TOML takes for nanoseconds:
// nothing here is that short.
func bareDurations(section string, v reflect.Value) (errs []error) {
	for i := range v.NumField() {
		if v.Field(i).Type() != reflect.TypeFor[Duration]() {
			continue
		}
		if d := v.Field(i).Int(); d != 0 && time.Duration(d) < time.Millisecond {
			key := v.Type().Field(i).Tag.Get("toml")
			errs = append(errs, fmt.Errorf("%s.%s is %d without a unit: use for example \"10s\" or \"1m30s\"", section, key, d))
		}
	}
	return errs
}
