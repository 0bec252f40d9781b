// A message of a tracking group, as it comes over /ws/gps-tracking/<device_id>/. What the receiver did not state is absent,
// and in a fix that went to a server what [report] members leaves out.
export type Message = TPV | SKY | HISTORY;

// A fix: position and movement at one time, in gpsd's names and units.
export interface TPV {
  class: "TPV";
  device_id: string;
  run?: string; // with seq it identifies the message; both are absent in a fix that is for local viewers alone
  seq?: number; // counts from 1 in each run
  backlog?: true; // sent late, after newer ones could have gone first
  mode: 1 | 2 | 3; // no fix, two-dimensional, three-dimensional
  status?: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9; // GPS, DGPS, RTK fixed, RTK float, dead reckoning, with dead reckoning, surveyed, simulated, PPS
  time?: string; // RFC 3339, UTC
  lat?: number; // degrees, north
  lon?: number; // degrees, east
  altMSL?: number; // m above mean sea level
  altHAE?: number; // m above the WGS 84 ellipsoid
  geoidSep?: number; // m, altHAE less altMSL
  speed?: number; // m/s over ground
  track?: number; // degrees true, the course over ground
  heading?: number; // degrees true, where the vehicle points
  climb?: number; // m/s, up
  magvar?: number; // degrees, east
  hdop?: number;
  vdop?: number;
  pdop?: number;
  eph?: number; // m, horizontal error
  epv?: number; // m, vertical error
  uSat?: number; // satellites used
  nSat?: number; // satellites in view
}

// The satellites in view.
export interface SKY {
  class: "SKY";
  device_id: string;
  time?: string; // RFC 3339, UTC
  satellites: Satellite[];
  hdop?: number;
  vdop?: number;
  pdop?: number;
  nSat: number; // satellites in view
  uSat: number; // satellites used
}

// The first message to a member that joined with ?after=RUN:SEQ.
export interface HISTORY {
  class: "HISTORY";
  device_id: string;
  complete: boolean; // the fixes that follow are all that came after that one
}

// In place of a publisher's own messages, where it has chosen the subprotocol gpsbridge.ack.v1: everything that it has sent on this
// connection up to that message was given to the group.
export interface ACK {
  ack: Key;
}

export interface Key {
  run: string;
  seq: number;
}

export interface Satellite {
  gnssid: number; // 0 GPS, 1 SBAS, 2 Galileo, 3 BeiDou, 5 QZSS, 6 GLONASS, 7 NavIC
  svid: number; // number within its system
  PRN: number; // number as NMEA 0183 has it
  el?: number; // degrees above the horizon
  az?: number; // degrees true
  ss?: number; // dB-Hz, signal strength
  used: boolean; // in the solution
}
