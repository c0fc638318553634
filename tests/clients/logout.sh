#!/bin/sh
# Ends the session in a curl cookie jar: logout.sh https://auth.example.com cookies.txt
answer=$(curl --silent --max-time 5 --request POST --cookie "$2" --cookie-jar "$2" \
  --write-out ' %{http_code}' "$1/api/auth/logout")
case $answer in
  'true 200') echo 'logged out' ;;
  'false 200') echo 'was over already' ;;
  *' 401') echo 'no session cookie' ;;
  # Refused, failed, timed out: the session may live on, and the jar still holds its cookie.
  *) echo "not known, try again: $answer" >&2; exit 1 ;;
esac
