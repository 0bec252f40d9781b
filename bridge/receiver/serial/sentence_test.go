package serial

const gsv = "$GPGSV,1,1,00*79\r\n"
