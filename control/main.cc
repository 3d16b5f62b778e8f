// sluiced, the daemon. Everything is in app/.
#include "control/app/options.hh"

int main(int argc, char** argv) {
    return sluice::app::run_sluiced(argc, argv, SLUICE_VERSION);
}
