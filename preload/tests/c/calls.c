/* A program that is a library's. */
int library_main(void);

int main(void) {
    return library_main();
}
