"""``python -m qchat.admin``"""

from qchat.admin import main

main()
