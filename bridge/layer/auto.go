package layer

// chooseKind makes the kind, at the first session.
func (l *Layer) chooseKind(s *session) error {
	if l.kind == nil {
		l.kind = newKind(l.config.Kind, l.config, &l.counters)
	}
	return nil
}
