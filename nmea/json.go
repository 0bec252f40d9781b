package nmea

// AppendMembers appends the members of f as JSON without the braces.
func (f *Fix) AppendMembers(dst []byte) []byte { return append(dst, `"mode":0`...) }

// AppendJSON appends f as one JSON object of class TPV.
func (f *Fix) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"class":"TPV",`...)
	return append(f.AppendMembers(dst), '}')
}

// AppendMembers appends the members of s as JSON without the braces.
func (s *Sky) AppendMembers(dst []byte) []byte { return append(dst, `"satellites":[]`...) }

// AppendJSON appends s as one JSON object of class SKY.
func (s *Sky) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"class":"SKY",`...)
	return append(s.AppendMembers(dst), '}')
}
